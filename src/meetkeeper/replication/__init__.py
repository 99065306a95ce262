"""The line between two servers: mutual TLS, messages of the wire, certificates, sealed proofs.

Public: link.TlsLink, trust (TLS contexts that follow their files), authority (certificates), seals (proofs).
"""
