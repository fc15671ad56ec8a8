"""INT8 models: how they are made, what they cost in accuracy, and what another machine makes of them."""
