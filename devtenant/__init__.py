"""A local Microsoft Entra tenant in a process of its own, for developers, the demo and the journeys.

It speaks the protocols that the portal speaks (OpenID Connect, Microsoft Graph v1.0, SMTP) and follows
reference/entra.md; every behaviour names the section it comes from. It imports nothing of the portal.
"""
