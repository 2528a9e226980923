"""The plugins that come with m2serve; installed as the package ``m2serve_plugins``."""
