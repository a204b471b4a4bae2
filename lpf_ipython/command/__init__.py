"""``jupyter lpf``: the cells of kernels, seen and steered from a shell.

    main ─> kernels (which kernel, and the way to it), show (tables and lines)
         └> run ─> progress                            (``jupyter lpf run``)

Nothing here runs in a kernel.
"""
