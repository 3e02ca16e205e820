"""Other systems that identity asks: OpenID providers and directories."""
