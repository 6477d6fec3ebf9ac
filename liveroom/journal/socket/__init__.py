"""A journal that another process of this machine serves over a Unix socket."""
