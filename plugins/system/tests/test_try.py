async def test_it(system):
    node = await system()
    print(node.host.record("system").public())
    await node.tick(8)
    for p in (
        "/api/system/metrics/current",
        "/api/system/info",
        "/api/system/disks",
        "/api/system/network/interfaces",
        "/api/system/disk/health",
        "/api/system/apps/metrics",
        "/api/network/history?interface=eth0&range=5m",
        "/api/network/history?interface=lo",
        "/api/system/metrics",
    ):
        print(p, str(await node.get(p))[:900])
