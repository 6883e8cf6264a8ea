"""A Gradio app: shows the classes of a photograph and the map of each; a click shows the classes at that place.

    MODEL=user/pm-vit-demo REVISION=v1.0 python app.py

`MODEL` can also be a folder. In a Space that `pm-vit publish --gradio_space` made, both are in `model.json`. The
example images are those of the folder `examples` beside this file, or of the project.
"""

import json
import os
from pathlib import Path

try:
    from spaces import GPU  # before torch. On ZeroGPU it lends a GPU to each call, elsewhere it does nothing
except ImportError:

    def GPU(function):  # noqa: N802
        return function


import gradio as gr
from explanation import Explainer

HERE = Path(__file__).resolve().parent
PINNED = json.loads((HERE / "model.json").read_text()) if (HERE / "model.json").is_file() else {}
FOLDERS = (HERE / "examples", HERE.parents[1] / "examples" if len(HERE.parents) > 1 else HERE)
EXAMPLES = next((found for folder in FOLDERS if (found := [*folder.glob("*.jpg"), *folder.glob("*.png")])), [])
DOUBTS = {
    "unsure": "The model does not know this photograph: its confidence is below the threshold that was stored with it.",
    "seen nowhere": "Doubtful: a class is named, but seen nowhere in the photograph.",
}
explainer = Explainer(os.environ.get("MODEL") or PINNED["model"], os.environ.get("REVISION") or PINNED.get("revision"))


@GPU
def predict(pixel_values):
    return explainer.predict(pixel_values)


def clear():
    return None, gr.update(choices=[], value=None), None, None


def explain(path, threshold, opacity):
    if path is None:
        return clear()
    try:
        found = explainer(path, predict)
    except ValueError as error:
        gr.Warning(str(error).replace(path, Path(path).name))
        return clear()
    if found.doubt:
        gr.Warning(DOUBTS[found.doubt])
    choices = [(f"{label} {100 * score:.1f} %", label) for label, score in found.top()]
    best = choices[0][1]
    return found, gr.update(choices=choices, value=best), found.overlay(best, threshold, opacity), None


def show(found, label, threshold, opacity):
    return found.overlay(label, threshold, opacity) if found and label else None


def ask(found, place: gr.SelectData):
    return found.here(*place.index) if found else None


with gr.Blocks(title="What the model sees") as app:
    gr.Markdown(
        "# What the model sees\nThe strength of the tint is the probability that the class is at that place. "
        "Click the map to see the classes there."
    )
    found = gr.State()
    with gr.Row():
        with gr.Column():
            photograph = gr.Image(  # as a file, which the model's own code reads
                type="filepath",
                image_mode=None,
                label="Photograph",
                sources=["upload", "clipboard"],
                elem_id="photograph",
            )
            if EXAMPLES:
                gr.Examples(sorted(map(str, EXAMPLES)), photograph)
        with gr.Column():
            label = gr.Radio([], label="Class", elem_id="class")
            picture = gr.Image(label="Map", interactive=False, elem_id="picture")  # a longer label covers the image
            here = gr.Label(label="Classes at this place", elem_id="here")
            threshold = gr.Slider(0, 1, 0.5, step=0.05, label="Threshold (the line)", elem_id="threshold")
            opacity = gr.Slider(0, 1, 0.6, step=0.05, label="Opacity", elem_id="opacity")
    answers = [found, label, picture, here]
    # Cleared first, because a file that Gradio cannot read never comes to `explain`.
    photograph.change(clear, None, answers).then(explain, [photograph, threshold, opacity], answers)
    for control in (threshold, opacity):
        control.release(show, [found, label, threshold, opacity], picture)
    label.input(show, [found, label, threshold, opacity], picture)
    picture.select(ask, found, here)

if __name__ == "__main__":
    # System fonts: the default theme would load its fonts from another server.
    app.launch(theme=gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"]))
