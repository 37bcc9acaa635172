"""Networks that do not come from dlib, and the runtime of those that people bring as ONNX files."""
