"""
Answers requests for classes and masks of photographs: in an endpoint's handler, or as a server of its own.

`pm-vit publish` copies this folder beside the weights. There it runs with numpy, Pillow and onnxruntime, and as a
server with FastAPI, uvicorn and prometheus-client; it never imports torch or transformers.
"""
