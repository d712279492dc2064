"""An independent implementation of AVG-LLaVA inference, used to check Gristmill.

It favours plainness over speed: Pillow touches every pixel, sentencepiece every
character, and transformers supplies the CLIP tower and the LLaMA decoder. What lies
between them (projector, scaler, router, token layout) is written out here.
"""

import PIL

# Releases may resize differently: 13.0 does, by up to two levels in a sixth of the values, and the router sees it.
if not PIL.__version__.startswith("12.2."):
    raise SystemExit(f"Pillow {PIL.__version__}: upstream's pixels are those of 12.2 here; install Tools/reference/requirements.txt")
