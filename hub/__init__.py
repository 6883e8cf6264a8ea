"""From a trained folder to the Hub: model card, publishing, endpoint, Space, browser page."""
