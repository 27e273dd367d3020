"""Models that answer on machines of ours: engines, the deployments they run, and embedders.

A deployment is a row; the reconciler keeps one real child process per deployment equal to it. Announces
`DeploymentChanged` when a deployment's state, address or served names change.
"""
