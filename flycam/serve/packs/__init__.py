"""Meeting packs: asked for, made, read, approved."""
