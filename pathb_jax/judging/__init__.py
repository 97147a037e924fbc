"""Any finished run under a protocol, and how sure the judgement is."""
