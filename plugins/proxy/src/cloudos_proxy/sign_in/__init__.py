"""Single sign-on: forward authentication, redirects, session handoff and the sign-in page."""
