"""An independent implementation of AVG-LLaVA inference, used to check Gristmill.

It favours plainness over speed: Pillow touches every pixel, sentencepiece every
character, and transformers supplies the CLIP tower and the LLaMA decoder. What lies
between them (projector, scaler, router, token layout) is written out here.
"""
