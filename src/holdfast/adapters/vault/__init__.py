"""What is stored encrypted, with AES-256-GCM under keys derived from one."""
