"""The doctor: says in sentences what is wrong with a desk and what to do, from wherever it is asked."""
