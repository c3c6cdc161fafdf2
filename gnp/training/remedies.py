"""What helps against losses and gradients that go astray, in words that end a sentence."""

SPIKE = (
    "a smaller base_lr, a longer warmup_epochs, a smaller gradient_clipping or a model with "
    "normalization often help"
)
EXPLODING = (
    "a smaller base_lr, a smaller gradient_clipping, a larger l2_regularization, a smaller "
    "initialization or a model with batch or layer normalization"
)
VANISHING = (
    "a model with shortcuts, ReLU in place of saturating activations, fewer layers, a larger "
    "initialization, batch or layer normalization, or Adam, whose steps do not shrink with the "
    "gradient"
)
