"""A whole release for show and for test: the lab, a repository made for it, and the pipeline called as users call it.

Needs Python 3.11, git and a working `dagger` (ci/engine/use); nothing from this package is part of the module.
"""
