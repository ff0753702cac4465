"""A reader's Python in a page: runs cells, and says what they show in the form in which a notebook stores it.

The page's worker (worker.js) starts it in Pyodide. It stands in for the few parts of IPython and ipywidgets that the
book uses: `display`, the end of a cell, figures with two pixels where one was, and `interact`, whose sliders the page
shows as its own. It needs nothing of Pyodide, so plain Python can test it.
"""

import ast
import base64
import copy
import io
import json
import linecache
import sys
import time
import traceback
import types

WIDGETS = "ipywidgets"
BACKEND = "figures_of_a_page"
HERE = "cell"  # the file name of what a reader runs


class Stream(io.TextIOBase):
    """What a cell prints: added to the last output, if that is of the same stream."""

    def __init__(self, shell, name):
        self.shell, self.name = shell, name

    def write(self, text):
        last = self.shell.outputs[-1] if self.shell.outputs else {}
        if text and last.get("name") == self.name:
            last["text"] += text
        elif text:
            self.shell.outputs.append({"output_type": "stream", "name": self.name, "text": text})
        return len(text)

    def writable(self):
        return True


class Events:
    """The ends of cells: `register("post_run_cell", function)`, as in IPython. Others never come."""

    def __init__(self):
        self.ends = []

    def register(self, name, function):
        if name == "post_run_cell":
            self.ends.append(function)


class Shell:
    """Runs the cells of one page, one after the other, in one scope."""

    def __init__(self):
        self.outputs, self.events, self.turned = [], Events(), []
        self.before = {}  # number of a cell → (its code, the names as they stood before it)
        self.missing = {}  # names that no cell has given a value → why, in words
        self.main = types.ModuleType("__main__")
        self.main.display = display

    def run(self, source, number=None):
        """Run a cell; return what it shows: a list of outputs as a notebook stores them.

        A cell with a number that runs again finds the names as they stood before it, whatever later cells have made of
        them. If its code is as before, what later cells have defined stays; if not, they must run anew.
        """
        code, names = self.before.get(number, (None, None))
        latest = self.names() if code == source else None
        if names is None:
            names = self.names()
        else:
            self.set_names(names)
        turned = len(self.turned)
        outputs = self.run_here(source)
        self.turned[turned:] = [(*each, self.names()) for each in self.turned[turned:]]
        if latest is not None:
            self.set_names(latest)
        elif number is not None:
            self.before = {cell: kept for cell, kept in self.before.items() if cell < number}
            self.before[number] = source, names
        return outputs

    def names(self):
        """Return a copy of the scope. What cells change in place is copied too: lists, dicts, sets, random numbers."""
        random = getattr(sys.modules.get("numpy"), "random", None)
        changing = (list, dict, set) if random is None else (list, dict, set, random.Generator)
        return {
            name: (copy.deepcopy if type(value) not in (list, dict, set) else copy.copy)(value)
            if isinstance(value, changing) and not name.startswith("__")
            else value
            for name, value in self.main.__dict__.items()
        }

    def set_names(self, names):
        """Let the scope hold these names alone: the same dict, since functions look their names up in it."""
        self.main.__dict__.clear()
        self.main.__dict__.update(names)
        self.main.__dict__.update(self.names())  # copies, so that what is kept stays as it is

    def run_here(self, source):
        linecache.cache[HERE] = len(source), None, source.splitlines(keepends=True), HERE

        def cell():
            tree, value = ast.parse(source, HERE), None
            ends_in_value = tree.body and isinstance(tree.body[-1], ast.Expr)
            last = ast.Expression(tree.body.pop().value) if ends_in_value else None
            exec(compile(tree, HERE, "exec"), self.main.__dict__)
            if last is not None:
                value = eval(compile(last, HERE, "eval"), self.main.__dict__)
            if value is not None and not ends_silently(source):
                self.outputs.append({"output_type": "execute_result", "data": bundle(value)})

        outputs = self.shown(cell)
        error = outputs[-1] if outputs and outputs[-1]["output_type"] == "error" else {}
        for name in assigned(source):
            self.missing.pop(name, None)
        if error.get("why"):
            self.skip(source, error["why"])
        return outputs

    def skip(self, source, why):
        """Remember that a cell did not run, and why: what it would have defined is missing."""
        for name in assigned(source):
            self.main.__dict__.pop(name, None)
            self.missing[name] = why

    def turn(self, number, values):
        """Call a function of `interact` with the values of its controls, and the names that its cell left.

        Return what it shows.
        """
        function, controls, *names = self.turned[number]

        def call():
            value = function(**{name: controls[name].read(value) for name, value in values.items()})
            if value is not None:
                display(value)

        latest = self.names()
        if names:
            self.set_names(*names)
        outputs = self.shown(call)
        if names:
            self.set_names(latest)
        return outputs

    def shown(self, action):
        """Return what an action shows: text, then its figures, then what waits for the end of a cell."""
        kept, around = (sys.stdout, sys.stderr), self.outputs
        self.outputs, failed = [], None
        sys.stdout, sys.stderr = Stream(self, "stdout"), Stream(self, "stderr")
        try:
            action()
        except BaseException as error:  # SystemExit too: it ends the cell, not the page
            failed = error
        try:
            show_figures()
            for end in self.events.ends:
                end(None)
        finally:
            (sys.stdout, sys.stderr), shown, self.outputs = (
                kept,
                self.outputs,
                around,
            )
        return shown + ([self.error(failed)] if failed else [])

    def error(self, error):
        """Say what went wrong, in which lines of the cell, and why, if a name or a module is missing in this page."""
        lines = [
            f"line {frame.lineno}" for frame in traceback.extract_tb(error.__traceback__) if frame.filename == HERE
        ]
        if isinstance(error, SyntaxError) and error.filename == HERE:
            lines = [f"line {error.lineno}"]
        said = {
            "output_type": "error",
            "ename": type(error).__name__,
            "evalue": str(error),
            "lines": lines,
        }
        if isinstance(error, ModuleNotFoundError):
            said["why"] = f"It needs {(error.name or '').partition('.')[0]}, which does not run in a page."
        if isinstance(error, NameError) and error.name in self.missing:
            said["why"] = f"It needs {error.name}, of a cell above that did not run. {self.missing[error.name]}"
        return said


def ends_silently(source):
    """Whether a cell ends in a semicolon, comments apart: then its last value is not shown."""
    code = [line.partition("#")[0].rstrip() for line in source.splitlines()]
    return next((line for line in reversed(code) if line), "").endswith(";")


def assigned(source):
    """Return the names that a cell gives values at its outermost level, and in its loops and branches."""
    try:
        body = ast.parse(source).body
    except SyntaxError:
        return set()
    names = set()

    def visit(node):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names.update((alias.asname or alias.name).partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif not isinstance(
            node,
            (
                ast.Lambda,
                ast.ListComp,
                ast.SetComp,
                ast.DictComp,
                ast.GeneratorExp,
            ),
        ):
            for child in ast.iter_child_nodes(node):
                visit(child)

    for node in body:
        visit(node)
    return names


def bundle(value):
    """Return a value in all forms that it has: plain text, and HTML or a picture if it knows how."""
    if hasattr(value, "_repr_mimebundle_"):
        data = value._repr_mimebundle_()
        return dict(data[0] if isinstance(data, tuple) else data)
    data = {"text/plain": repr(value)}
    if hasattr(value, "_repr_html_") and (html := value._repr_html_()) is not None:
        data["text/html"] = html
    return data


def display(*values):
    """Show values, as in a notebook."""
    from matplotlib.figure import Figure

    for value in values:
        if isinstance(value, Figure):
            show_figure(value)
        else:
            shell.outputs.append({"output_type": "display_data", "data": bundle(value)})


# Figures


def show_figure(figure):
    picture = io.BytesIO()
    colors = {
        "facecolor": figure.get_facecolor(),
        "edgecolor": figure.get_edgecolor(),
    }
    figure.canvas.print_figure(
        picture,
        format="png",
        dpi=2 * figure.dpi,
        bbox_inches="tight",
        **colors,
    )
    data = {
        "text/plain": repr(figure),
        "image/png": base64.b64encode(picture.getvalue()).decode(),
    }
    shell.outputs.append(
        {
            "output_type": "display_data",
            "data": data,
            "axes": axes_within(figure),
        }
    )


def axes_within(figure):
    """Where the axes stand in a figure's picture, as shares of its width and height: left, top, right, bottom.

    There the page compares colors. Around them stand ticks and labels, which each Matplotlib places as it sees fit.
    """
    from matplotlib import rcParams

    whole = figure.get_tightbbox().padded(rcParams["savefig.pad_inches"])  # inches, from below
    boxes = [ax.get_window_extent().transformed(figure.dpi_scale_trans.inverted()) for ax in figure.axes]
    return [
        [
            (box.x0 - whole.x0) / whole.width,
            (whole.y1 - box.y1) / whole.height,
            (box.x1 - whole.x0) / whole.width,
            (whole.y1 - box.y0) / whole.height,
        ]
        for box in boxes
    ]


def show_figures(*arguments, **options):
    """Show all open figures and close them: `plt.show()`, and the end of a cell."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is None:
        return
    try:
        for number in pyplot.get_fignums():
            show_figure(pyplot.figure(number))
    finally:
        pyplot.close("all")


def figures():
    """The module that matplotlib takes as its backend."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    module = types.ModuleType(BACKEND)
    module.FigureCanvas, module.show = FigureCanvasAgg, show_figures
    return module


# Controls


class Control:
    """A widget of `interact`: its kind, its value and its limits, for the page to show."""

    def __init__(self, kind, names, defaults, values, options):
        given = {**defaults, **dict(zip(names, values)), **options}
        self.kind = kind
        self.value = given.pop("value")
        self.settings = {name: given[name] for name in ("min", "max", "step", "base", "options") if name in given}
        self.description = given.get("description") or ""

    def read(self, value):
        """Return what the function gets for a value that comes from the page."""
        if self.kind == "int":
            return int(value)
        if self.kind == "choice":
            return self.choices[int(value)][1]
        return float(value) if self.kind in ("float", "log") else value

    @property
    def choices(self):
        options = self.settings["options"]
        pairs = options.items() if isinstance(options, dict) else options
        return [pair if isinstance(pair, tuple) else (str(pair), pair) for pair in pairs]

    def said(self, name):
        """Return the control as the page takes it."""
        said = {
            "name": name,
            "label": self.description or name,
            "kind": self.kind,
            "value": self.value,
            **self.settings,
        }
        if self.kind == "choice":
            values = [value for _, value in self.choices]
            said |= {
                "options": [label for label, _ in self.choices],
                "value": values.index(self.value),
            }
        return said


def widget(kind, *names, **defaults):
    def make(*values, **options):
        return Control(kind, names, defaults, values, options)

    return make


def dropdown(options=(), value=None, **more):
    control = Control("choice", (), {}, (), {"options": options, "value": value, **more})
    if value is None:
        control.value = control.choices[0][1]
    return control


FLOAT, INT = (
    {"value": 0.0, "min": 0.0, "max": 10.0, "step": 0.1},
    {"value": 0, "min": 0, "max": 100, "step": 1},
)
LIMITS = ("value", "min", "max", "step")
MAKERS = {
    "FloatSlider": widget("float", *LIMITS, **FLOAT),
    "BoundedFloatText": widget("float", *LIMITS, **FLOAT),
    "IntSlider": widget("int", *LIMITS, **INT),
    "BoundedIntText": widget("int", *LIMITS, **INT),
    "FloatLogSlider": widget(
        "log",
        "value",
        "base",
        "min",
        "max",
        "step",
        value=1.0,
        base=10,
        min=0,
        max=4,
        step=0.1,
    ),
    "Checkbox": widget("truth", "value", value=False),
    "Text": widget("text", "value", value=""),
    "Dropdown": dropdown,
    "ToggleButtons": dropdown,
    "RadioButtons": dropdown,
    "SelectionSlider": dropdown,
}


def control(value):
    """Return the control that `interact` makes of a value, as ipywidgets does."""
    if isinstance(value, Control):
        return value
    if isinstance(value, bool):
        return MAKERS["Checkbox"](value)
    if isinstance(value, str):
        return MAKERS["Text"](value)
    if isinstance(value, (int, float)):
        low, high = sorted((-value, 3 * value)) if value else (0, 1)
        return control((low, high))
    if isinstance(value, tuple) and value and all(isinstance(one, (int, float)) for one in value):
        low, high, *step = value
        whole = all(isinstance(one, int) for one in value)
        middle = (low + high) // 2 if whole else (low + high) / 2
        make = MAKERS["IntSlider" if whole else "FloatSlider"]
        return make(middle, low, high, *(step or [1 if whole else 0.1]))
    return dropdown(value)


def interact(function=None, **controls):
    """Call a function with the values of controls, now and each time that a reader turns one of them."""
    if function is None:
        return lambda function: interact(function, **controls)
    controls = {name: control(value) for name, value in controls.items()}
    number = len(shell.turned)
    shell.turned.append((function, controls))
    said = [one.said(name) for name, one in controls.items()]
    outputs = shell.turn(number, {one["name"]: one["value"] for one in said})
    shell.outputs.append(
        {
            "output_type": "controls",
            "number": number,
            "controls": said,
            "outputs": outputs,
        }
    )
    return function


def no_such_widget(name):
    if name.startswith("__"):
        raise AttributeError(name)
    raise AttributeError(f"{WIDGETS}.{name} has no counterpart in a page; {', '.join(MAKERS)} have")


def modules():
    """Return what stands in for IPython and ipywidgets."""
    names = (
        "IPython",
        "IPython.display",
        "IPython.core",
        "IPython.core.pylabtools",
        WIDGETS,
    )
    ipython, shown, core, tools, widgets = map(types.ModuleType, names)
    ipython.get_ipython, ipython.display, ipython.core = (
        lambda: shell,
        shown,
        core,
    )
    shown.display = display
    ipython.version_info, core.pylabtools, tools.backend2gui = (
        (8, 0),
        tools,
        {},
    )  # matplotlib asks for these
    widgets.interact, widgets.__getattr__ = interact, no_such_widget
    for name, make in MAKERS.items():
        setattr(widgets, name, make)
    return {module.__name__: module for module in (ipython, shown, core, tools, widgets)}


# What the worker calls


def start():
    """Take the place of IPython and ipywidgets, and of matplotlib's backend."""
    import matplotlib

    sys.modules.update(modules(), **{BACKEND: figures(), "__main__": shell.main})
    matplotlib.use(f"module://{BACKEND}")


def run_cell(source, number=None):
    """Run a cell; return what it shows and the seconds that it took, as JSON."""
    begin = time.perf_counter()
    outputs = shell.run(source, number)
    return json.dumps({"outputs": outputs, "seconds": time.perf_counter() - begin})


def skip_cell(source, why):
    shell.skip(source, why)


def turn(number, values):
    return json.dumps({"outputs": shell.turn(number, json.loads(values))})


shell = Shell()
