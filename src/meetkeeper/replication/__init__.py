"""The line between two servers: mutual TLS, frames of the wire, certificates, sealed proofs.

Public: link.TlsLink, authority (certificates), seals (proofs).
"""
