"""The D dial: `dials` makes it, `payload` and `picture` write it, numbers.js and view.js run in the browser."""

from .dials import Dial, dial

__all__ = ["Dial", "dial"]
