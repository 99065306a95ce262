"""Room mailboxes in Microsoft 365, by Microsoft Graph.

`token` proves who we are, `client` talks within bounds, `mapping` and `patterns` translate (pure), `marks` are the
cookies, `source` is one room's calendar, `writing` puts our own bookings into it.
"""
