"""The prompt styles that ship with Fuata; their templates stand in ``styles/``."""

# Each style's title and its own end-of-turn token, used where the checkpoint's vocabulary has it.
BUILT_IN = {
    "alpaca": ("Alpaca", ""),
    "phi3": ("Phi-3", "<|end|>"),
    "chatml": ("ChatML", "<|im_end|>"),
    "llama3": ("Llama 3", "<|eot_id|>"),
}
