"use strict";
// The one 3D view of the page: a mask of the shared topology, under the studio's light.
const Viewer = (() => {
  const {
    BufferAttribute, BufferGeometry, Color, DirectionalLight, DoubleSide, HemisphereLight, Mesh,
    MeshPhysicalMaterial, OrbitControls, PCFShadowMap, PerspectiveCamera, Scene, SRGBColorSpace, WebGLRenderer,
  } = Vendor;
  const STEP = Math.PI / 18;

  function bytes(text) {
    const plain = atob(text);
    const out = new Uint8Array(plain.length);
    for (let k = 0; k < plain.length; k += 1) out[k] = plain.charCodeAt(k);
    return out;
  }

  function triangles(packed) {
    const raw = bytes(packed.data).buffer;
    return packed.bits === 32 ? new Uint32Array(raw) : new Uint16Array(raw);
  }

  function places(packed) {
    const steps = new Int16Array(bytes(packed.data).buffer);
    const out = new Float32Array(steps.length);
    for (let k = 0; k < steps.length; k += 1) out[k] = steps[k] * packed.step_m;
    return out;
  }

  /** Colors as the renderer counts them. */
  function linear(text) {
    const raw = bytes(text);
    const out = new Float32Array(raw.length);
    const color = new Color();
    for (let k = 0; k < raw.length; k += 3) {
      color.setRGB(raw[k] / 255, raw[k + 1] / 255, raw[k + 2] / 255, SRGBColorSpace);
      out.set([color.r, color.g, color.b], k);
    }
    return out;
  }

  class View {
    constructor(canvas, mesh) {
      this.canvas = canvas;
      this.renderer = new WebGLRenderer({ canvas, antialias: true, alpha: true, preserveDrawingBuffer: true });
      this.renderer.outputColorSpace = SRGBColorSpace;
      this.renderer.shadowMap.enabled = true;
      this.renderer.shadowMap.type = PCFShadowMap;
      this.renderer.shadowMap.autoUpdate = false; // the lamps stand with the mask: shadows change with its shape only
      this.scene = new Scene();
      this.camera = new PerspectiveCamera(13, 1, 0.1, 10);
      this.center = mesh.center_m;
      this.materials = mesh.materials; // of services/rendering/materials.py
      this.geometry = new BufferGeometry();
      this.geometry.setIndex(new BufferAttribute(triangles(mesh.triangles), 1));
      this.material = new MeshPhysicalMaterial({ sheenRoughness: 0.6, side: DoubleSide });
      this.made = this.materials.nylon;
      this.mesh = new Mesh(this.geometry, this.material);
      this.mesh.castShadow = this.mesh.receiveShadow = true;
      this.mesh.frustumCulled = false;
      this.mesh.position.set(-this.center[0], -this.center[1], -this.center[2]);
      this.scene.add(this.mesh);
      this.#light();
      this.controls = new OrbitControls(this.camera, canvas);
      this.controls.enablePan = false;
      this.controls.enableDamping = true;
      this.controls.minDistance = 0.45;
      this.controls.maxDistance = 3.5;
      this.controls.enableZoom = false; // the wheel scrolls the page until the view has been clicked
      this.controls.autoRotateSpeed = 1.6;
      canvas.style.touchAction = "pan-y";
      canvas.addEventListener("focus", () => { this.controls.enableZoom = true; });
      canvas.addEventListener("blur", () => { this.controls.enableZoom = false; });
      canvas.addEventListener("keydown", (event) => this.#key(event));
      canvas.addEventListener("touchstart", (event) => { if (event.touches.length > 1) this.controls.enableZoom = true; }, { passive: true });
      this.controls.addEventListener("change", () => this.draw());
      new ResizeObserver(() => this.#resize()).observe(canvas.parentElement);
      this.reach = 1; // how far away the front is looked at, of what is usual
      this.pending = false;
      this.drawn = 0;
      this.front();
      this.#resize();
    }

    #light() {
      // The rig of services/rendering/rig.py: one key light, a dim fill, a rim from behind.
      const rig = new Scene();
      const add = (x, y, z, color, power, shadow) => {
        const lamp = new DirectionalLight(color, power);
        lamp.position.set(x, y, z);
        if (shadow) {
          lamp.castShadow = true;
          lamp.shadow.mapSize.set(2048, 2048);
          Object.assign(lamp.shadow.camera, { left: -0.22, right: 0.22, top: 0.22, bottom: -0.22, near: 0.1, far: 2.5 });
          lamp.shadow.radius = 6;
          lamp.shadow.normalBias = 0.0022;
          lamp.shadow.bias = -0.0006;
        }
        rig.add(lamp);
      };
      add(-0.80, 0.62, 0.55, 0xfff6ea, 3.0, true);
      add(0.85, 0.05, 0.50, 0xb9d0f0, 0.34, false);
      add(0.80, 0.42, -0.60, 0xdfeaff, 1.6, false);
      rig.add(new HemisphereLight(0xb8bcc6, 0x2a2420, 0.3));
      this.scene.add(rig);
    }

    show(packed, colors) { this.#set(places(packed), colors && linear(colors)); }

    /** A shape between frames of the story; `at` counts frames. paints: their colors, where they have some. */
    between(frames, at, paints) {
      const first = Math.min(Math.floor(at), frames.length - 1);
      const second = Math.min(first + 1, frames.length - 1);
      let share = at - first;
      share = share * share * (3 - 2 * share);
      const mixed = (a, b) => {
        const out = new Float32Array(a.length);
        for (let k = 0; k < a.length; k += 1) out[k] = a[k] + (b[k] - a[k]) * share;
        return out;
      };
      this.#set(mixed(frames[first], frames[second]), paints ? mixed(paints[first], paints[second]) : null);
    }

    #set(points, colors) {
      this.geometry.setAttribute("position", new BufferAttribute(points, 3));
      if (colors) this.geometry.setAttribute("color", new BufferAttribute(colors, 3));
      else this.geometry.deleteAttribute("color");
      this.geometry.computeVertexNormals();
      this.renderer.shadowMap.needsUpdate = true;
      this.material.vertexColors = Boolean(colors);
      this.#finish();
    }

    surface(kind) {
      this.made = this.materials[kind] || this.materials.color; // a gaze map brings colors of its own
      this.#finish();
    }

    #finish() {
      const { color, roughness, metalness, sheen } = this.made;
      Object.assign(this.material, { roughness, metalness, sheen });
      this.material.color.set(this.material.vertexColors ? "#ffffff" : color);
      this.material.needsUpdate = true;
      this.draw();
    }

    turning(on) {
      this.controls.autoRotate = on;
      this.draw();
    }

    front() { this.aside(0); }

    /** As from the front, but so many radians around. */
    aside(around) {
      const wide = (this.camera.aspect < 0.8 ? 1.55 : 1.25) * this.reach;
      const [x, z] = [-0.28 * wide, 1.02 * wide];
      this.camera.position.set(x * Math.cos(around) + z * Math.sin(around), 0.03 * wide, z * Math.cos(around) - x * Math.sin(around));
      this.controls.target.set(0, 0, 0);
      this.controls.update();
      this.draw();
    }

    #key(event) {
      const moves = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };
      if (moves[event.key]) this.#orbit(...moves[event.key]);
      else if (event.key === "+" || event.key === "=") this.#approach(0.88);
      else if (event.key === "-") this.#approach(1 / 0.88);
      else if (event.key === "0" || event.key === "Home") this.front();
      else return;
      event.preventDefault();
    }

    #orbit(across, down) {
      const p = this.camera.position;
      const radius = p.length();
      const around = Math.atan2(p.x, p.z) + across;
      const polar = Math.min(Math.PI - 0.05, Math.max(0.05, Math.acos(p.y / radius) + down));
      p.set(Math.sin(polar) * Math.sin(around), Math.cos(polar), Math.sin(polar) * Math.cos(around)).multiplyScalar(radius);
      this.controls.update();
      this.draw();
    }

    #approach(factor) {
      const p = this.camera.position;
      p.setLength(Math.min(this.controls.maxDistance, Math.max(this.controls.minDistance, p.length() * factor)));
      this.controls.update();
      this.draw();
    }

    #resize() {
      const { clientWidth: width, clientHeight: height } = this.canvas.parentElement;
      if (!width || !height) return;
      this.renderer.setPixelRatio(Math.min(window.devicePixelRatio || 1, 2));
      this.renderer.setSize(width, height, false);
      const portrait = this.camera.aspect < 0.8;
      this.camera.aspect = width / height;
      this.camera.updateProjectionMatrix();
      if (portrait !== this.camera.aspect < 0.8) this.front();
      this.draw();
    }

    draw() {
      if (this.pending) return;
      this.pending = true;
      requestAnimationFrame(() => {
        this.pending = false;
        this.controls.update(); // may ask for one more picture, while it glides
        this.renderer.render(this.scene, this.camera);
        this.drawn += 1;
      });
    }

    /** A square picture of what is shown, as a data URI. */
    snapshot(side) {
      const page = document.createElement("canvas");
      page.width = page.height = side;
      this.renderer.render(this.scene, this.camera);
      const { width, height } = this.canvas;
      const edge = Math.min(width, height);
      page.getContext("2d").drawImage(this.canvas, (width - edge) / 2, (height - edge) / 2, edge, edge, 0, 0, side, side);
      return page.toDataURL("image/png");
    }
  }

  return { View, places, bytes, linear };
})();
