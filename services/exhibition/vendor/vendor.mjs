// Only what the page uses, so that a page stays small.
export {
  BufferAttribute, BufferGeometry, Color, DirectionalLight, DoubleSide, HemisphereLight, Mesh, MeshPhysicalMaterial,
  PCFShadowMap, PerspectiveCamera, Scene, SRGBColorSpace, WebGLRenderer,
} from "three";
export { OrbitControls } from "three/addons/controls/OrbitControls.js";
export { default as uPlot } from "uplot";
