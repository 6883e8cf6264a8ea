"""Publishing on the Hub: model card, checks, upload and verification; inference endpoint, Space and browser page.

Shipped as `modeling_pm_vit.hub`, except for the folders `space` and `web`, which are deployed from the repository.
"""
