"""Names of the MITRE ATT&CK techniques that checks refer to; a check itself has the numbers.

A number says what a finding may be a part of, for readers who sort by it. It is no evidence and weighs
nothing.
"""

from collections.abc import Sequence

# Enterprise matrix (attack.mitre.org), a sub-technique with its parent's name. Documented.
NAMES = {
    "T1021.004": "Remote Services: SSH",
    "T1046": "Network Service Discovery",
    "T1071": "Application Layer Protocol",
    "T1090": "Proxy",
    "T1133": "External Remote Services",
    "T1496": "Resource Hijacking",
    "T1496.001": "Resource Hijacking: Compute Hijacking",
    "T1562.001": "Impair Defenses: Disable or Modify Tools",
    "T1562.004": "Impair Defenses: Disable or Modify System Firewall",
    "T1564": "Hide Artifacts",
    "T1565.001": "Data Manipulation: Stored Data Manipulation",
    "T1571": "Non-Standard Port",
    "T1572": "Protocol Tunneling",
}


def spell(ids: Sequence[str]) -> str:
    """`ATT&CK T1572 Protocol Tunneling, T1090 Proxy`; empty for none. An unknown number stands alone."""
    parts = [f"{number} {NAMES[number]}" if number in NAMES else number for number in ids]
    return f"ATT&CK {', '.join(parts)}" if parts else ""
