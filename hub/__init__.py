"""Publishing on the Hub: model card, checks, upload and verification; inference endpoint, Space and browser page.

Shipped as `modeling_pm_vit.hub`, with the sources of the Spaces in the folders `space` and `web`.
"""
