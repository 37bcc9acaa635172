"""Networks that do not come from dlib, and the runtime of those that people bring as ONNX files.

YuNet, CenterFace, BlazeFace and MTCNN come with datamask, in ../data. Their files are read as they were
published (onnx_steps.py, tflite_steps.py; MTCNN's, which were pickles, as arrays) into the steps of
network.py, which run in torch: no package of their authors is needed, and none of their code runs.
"""
