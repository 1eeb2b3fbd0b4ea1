"""The servers that the gateway is measured beside, each as its documentation writes one."""
