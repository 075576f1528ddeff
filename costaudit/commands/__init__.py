"""The commands: a folder is a registry, a module without a leading underscore is a command of that name.

A command module has
    a docstring, whose first line is the one `costaudit --help` lists; it is read without importing the module
    `command`, a function with typer annotations whose docstring is the page of `costaudit NAME --help`,
    or `app`, a `typer.Typer` for a group of commands

Shared flags come from `_options`, output goes through `_output`; what stops a command is raised as a
`CostAuditError` and phrased in `cli`. Heavy imports stand inside the functions, so that help answers at once.
"""
