"""The whole story of one order, from every topic that speaks of it. Moves no offset."""

from k2x.trace.reader import Reader
from k2x.trace.story import Happening, Story

__all__ = ["Happening", "Reader", "Story"]
