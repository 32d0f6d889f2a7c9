"""Numbers that tell rows apart, each given once in a process."""

from itertools import count

numbers = count(1)
