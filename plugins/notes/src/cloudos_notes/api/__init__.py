"""The endpoints of notes, attachments, vaults and Molly's memory."""
