"""Execute notebooks anew and store what they show in one canonical form: `make notebooks`.

    python -m tools.notebooks [--normalize-only] [NOTEBOOK ...]     without names: every notebook of the book

What is stored depends on the code and on nothing else: no time, no machine, no widget state. So a second run
changes nothing, and a difference that git shows is a difference that a reader would see. Figures are stored in
256 colors, which halves what a page weighs and more.
"""

import argparse
import base64
import hashlib
import io
import sys
from pathlib import Path

import numpy as np
from jupyter_client.manager import start_new_kernel
from PIL import Image

sys.modules.setdefault("rfc3987_syntax", None)  # a grammar that jsonschema compiles for 0.8 s, and no notebook needs
import nbformat  # noqa: E402

from tools import toc  # noqa: E402

KERNELSPEC = {"display_name": "Python 3", "language": "python", "name": "python3"}
LANGUAGE_INFO = {"name": "python", "pygments_lexer": "ipython3"}
COLORS = 256  # of a stored figure
ALONE = """\
# This file does not run alone: it needs the book around it, whose package is
# cossim_helpers. Get the whole repository and type `make lab`, or use Binder.
"""


def loads(text):
    """Return the notebook as it stands. (nbformat.read would repair it, with cell ids drawn at random.)"""
    return nbformat.v4.reads(text)


def dumps(notebook):
    nbformat.validate(notebook)
    return nbformat.v4.writes(notebook) + "\n"


def merge_streams(outputs):
    """Join neighboring pieces of one stream: where the kernel cuts them is chance."""
    merged = []
    for output in outputs:
        if merged and output.output_type == "stream" == merged[-1].output_type and output.name == merged[-1].name:
            merged[-1].text += output.text
        else:
            merged.append(output)
    return merged


def palette(colors, counts, size):
    """Return the numbers of the `size` colors to keep, and for each color which of these is nearest.

    One after the other, the color that would be missed most: far from those kept, and in many pixels. Integers
    decide, and square roots of integers, so the choice is the same on every machine.
    """
    kept, nearest = [], np.zeros(len(colors), dtype=int)
    distance = np.full(len(colors), 3 * 256**2)
    while len(kept) < size:
        missed = int(np.argmax(np.sqrt(counts) * distance))
        to_missed = np.square(colors - colors[missed]).sum(axis=1)
        nearest[to_missed < distance] = len(kept)
        distance = np.minimum(distance, to_missed)
        kept.append(missed)
    return kept, nearest


def stored_png(encoded):
    """Return a figure, a PNG in base64, as it is stored: with a palette. What is stored already stays byte by byte.

    (The bytes depend on the library that compresses them; conftest.py compares pixels.)
    """
    drawn = Image.open(io.BytesIO(base64.b64decode(encoded)))
    if drawn.mode == "P":
        return encoded
    if drawn.mode == "RGBA" and drawn.getextrema()[3][0] < 255:
        raise ValueError("a figure is transparent: in the dark its letters would not be seen")
    pixels = np.asarray(drawn.convert("RGB"), dtype=int) @ [1 << 16, 1 << 8, 1]
    codes, number, counts = np.unique(pixels, return_inverse=True, return_counts=True)
    colors = np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=1)
    kept, nearest = palette(colors, counts, min(COLORS, len(codes)))
    picture = Image.fromarray(nearest[number].reshape(pixels.shape).astype(np.uint8))
    picture.putpalette(colors[kept].astype(np.uint8).tobytes())
    target = io.BytesIO()
    picture.save(target, format="PNG", optimize=True)
    return base64.b64encode(target.getvalue()).decode()


def normalize(notebook):
    """Bring a notebook, in place, into the form in which it is stored."""
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    notebook.metadata.pop("widgets", None)
    notebook.metadata |= {"kernelspec": KERNELSPEC, "language_info": LANGUAGE_INFO}
    say_what_it_needs(notebook)
    count = 0
    for position, cell in enumerate(notebook.cells):
        cell.setdefault("id", hashlib.sha256(f"{position} {cell.source}".encode()).hexdigest()[:8])
        cell.metadata.pop("execution", None)
        if cell.cell_type != "code":
            continue
        executed = bool(cell.source.strip())
        count += executed
        cell.execution_count = count if executed else None
        cell.outputs = [] if "remove-output" in cell.metadata.get("tags", []) else merge_streams(cell.outputs)
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = count
            if output.output_type == "error":  # the frames above it name files of the machine
                output.traceback = [f"{output.ename}: {output.evalue}"]
            if "image/png" in output.get("data", {}):
                output.data["image/png"] = stored_png(output.data["image/png"])
    return notebook


def say_what_it_needs(notebook):
    """Begin the first code cell, which fails in a notebook that was downloaded alone, with what such a reader lacks."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    if any("cossim_helpers" in cell.source for cell in code) and not code[0].source.startswith(ALONE):
        code[0].source = ALONE + code[0].source


def execute(notebook, folder):
    """Run every cell, in place, in a new kernel. A cell that raises or writes to stderr is an error."""
    manager, client = start_new_kernel(kernel_name="python3", cwd=str(folder))
    try:
        for position, cell in enumerate(notebook.cells):
            if cell.cell_type == "code" and cell.source.strip():
                cell.outputs = run(cell.source, client)
                refuse_errors(position, cell)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def run(source, client, timeout=600):
    """Return what a cell shows."""
    outputs = []

    def keep(message):
        if message["msg_type"] in ("stream", "display_data", "execute_result", "error"):
            outputs.append(nbformat.v4.output_from_msg(message))

    client.execute_interactive(source, output_hook=keep, allow_stdin=False, timeout=timeout)
    return outputs


def refuse_errors(position, cell):
    for output in cell.outputs:
        if output.output_type == "error" and "raises-exception" not in cell.metadata.get("tags", []):
            raise RuntimeError(f"cell {position} raises:\n" + "\n".join(output.traceback))
        if output.get("name") == "stderr":
            raise RuntimeError(f"cell {position} writes to stderr:\n{output.text}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--normalize-only", action="store_true", help="keep the stored outputs")
    parser.add_argument("notebooks", nargs="*", type=Path, default=toc.notebooks())
    options = parser.parse_args()
    failed = False
    for path in options.notebooks:
        try:
            notebook = loads(path.read_text(encoding="utf-8"))
            if not options.normalize_only:
                execute(notebook, path.resolve().parent)
            text = dumps(normalize(notebook))
        except (RuntimeError, TimeoutError, ValueError, OSError) as error:  # the file stays as it was
            failed = True
            print(f"{path}: {error}", file=sys.stderr)
        else:
            path.write_text(text, encoding="utf-8")
            print(path)
    sys.exit(failed)


if __name__ == "__main__":
    main()
