"""What a model can be taken away as. Imports nothing heavy: pages and command lines list it."""

from typing import Literal, get_args

ExportForm = Literal["merged", "adapter", "gguf", "ollama"]
Quantisation = Literal["f32", "f16", "q8_0", "q4_0", "q4_k_m"]
EXPORT_FORMS: tuple[ExportForm, ...] = get_args(ExportForm)
QUANTISATIONS: tuple[Quantisation, ...] = get_args(Quantisation)
# bytes that a weight takes on the disk, scales of its block among them
BYTES_OF_A_WEIGHT: dict[Quantisation, float] = {
    "f32": 4.0,
    "f16": 2.0,
    "q8_0": 34 / 32,
    "q4_0": 18 / 32,
    "q4_k_m": 0.61,
}
