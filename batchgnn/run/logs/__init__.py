"""`--log`: a run's curves in the files of other tools, a module a tool.

A tool's module has a class `ToolLog` (`log.py: Log`) and imports its package at the top; nothing
imports the module but `tools.py`, when the tool is asked for. The tool's name is in
`settings/general.py: Tool`, its package an extra of that name in setup.cfg.
"""
