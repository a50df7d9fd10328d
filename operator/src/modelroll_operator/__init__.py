"""The operator of modelroll: one custom resource, one actor per Deployment, one pure plan."""
