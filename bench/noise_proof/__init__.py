"""``python -m bench.noise_proof``: are these faces the machines' own? From true noise, beside controls.

What is asked was fixed before any of the test seeds was run: `settings` and examples/noise.toml. Every
stage is a table of cells, each a file of its own; whoever interrupts it loses the cells under work and no
other.

`searches`: runs by the product's own search, and the elite of each; `permuted`: the machines of a control;
`conditions`: how masks are looked at; `looks`: pictures by two renderers and what machines say of them;
`stages`: the cells; `cells`: their files, and how long is left; `running`; `statistics`; `findings`: figures
of many cells; `tables`: the page.
"""
