"""Operations on a node's data: verification, repair, backup, restore, retention."""
