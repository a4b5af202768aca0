"""The daemon: it polls by itself, for years, under a service manager or without one."""
