"""The D dial: `dials` makes it, `payload` and `picture` write it, numbers.js and view.js run in the browser.

`cones` makes and writes the cone, and cone.js runs it.
"""

from .cones import Cone, cone
from .dials import Dial, dial

__all__ = ["Cone", "Dial", "cone", "dial"]
