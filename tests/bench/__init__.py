"""Benchmarks: what rendering, publishing and receiving cost, beside other programs that do a part of it.

`__main__` runs them. Each is a module with one public function, which returns rows; what it measures runs in a
process of its own. To add one, write such a function and name it in `__main__.BENCHMARKS`.
"""
