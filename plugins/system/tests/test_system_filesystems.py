"""Only real filesystems, each once."""

import json

from cloudos_system.machine.filesystems import Usage, parse_mounts, real_mounts, usage_of

LINES = r"""
22 27 0:21 / /proc rw,relatime - proc proc rw
25 24 0:23 / /dev/shm rw,relatime - tmpfs tmpfs rw,size=24683656k
27 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
40 27 8:2 / /boot/efi rw,relatime shared:7 - vfat /dev/sda2 rw,fmask=0077
41 27 8:1 /srv/data /var/lib/apps rw,relatime shared:1 - ext4 /dev/sda1 rw
42 27 0:40 / /snap/core/1 ro,nodev - squashfs /dev/loop0 ro
43 27 0:41 / /var/lib/docker/overlay2/x/merged rw - overlay overlay rw,lowerdir=/l
44 27 0:50 /@home /home rw,relatime shared:9 - btrfs /dev/sdb rw,subvol=/@home
45 27 0:50 /@media /srv/my\040media rw,relatime - btrfs /dev/sdb rw,subvol=/@media
46 27 0:60 / /tank rw - zfs tank rw,xattr
47 27 0:61 / /tank/photos rw - zfs tank/photos rw,xattr
48 27 8:17 / /mnt/old rw - xfs /dev/sdc1 rw
49 48 0:70 / /mnt/old rw - tmpfs tmpfs rw
50 27 8:33 / /mnt/flash\134stick rw - f2fs /dev/sdd1 rw
51 27 0:80 / /mnt/share rw - nfs4 server:/share rw
52 27 8:1 / /run/netns rw,relatime - ext4 /dev/sda1 rw
nonsense
""".splitlines()

LOOK = """
import json
from cloudos_system.machine.filesystems import real_mounts, usage_of
print(json.dumps([[m.mount_point, m.device, m.fs_type, usage_of(m.mount_point).total] for m in real_mounts()]))
"""


def test_pseudo_filesystems_are_left_out_and_each_real_one_is_listed_once():
    found = {mount.mount_point: (mount.device, mount.fs_type) for mount in parse_mounts(LINES)}
    assert found == {
        "/": ("/dev/sda1", "ext4"),
        "/boot/efi": ("/dev/sda2", "vfat"),
        "/home": ("/dev/sdb", "btrfs"),
        "/mnt/flash\\stick": ("/dev/sdd1", "f2fs"),
        "/tank": ("tank", "zfs"),
        "/tank/photos": ("tank/photos", "zfs"),
    }


def test_a_filesystem_is_shown_at_its_root_rather_than_at_a_folder_of_it():
    lines = ["30 1 8:1 /a /x rw - ext4 /dev/sda1 rw", "31 1 8:1 / /a/long/path rw - ext4 /dev/sda1 rw"]
    assert [mount.mount_point for mount in parse_mounts(lines)] == ["/a/long/path"]


def test_the_share_in_use_is_that_of_df():
    assert Usage(total=1000, used=600, free=300).percent == 66.7, "a tenth is for root alone"
    assert Usage(0, 0, 0).percent == 0.0


def test_a_real_filesystem_mounted_twice_and_a_bind_mount_are_one(mount_namespace):
    mounting = """
    truncate -s 24M image && mkfs.ext4 -q image && mkdir disk again "with space" folder
    mount -o loop image disk && mkdir disk/inner
    mount --bind disk again && mount --bind disk/inner folder
    truncate -s 24M other && mkfs.ext4 -q other && mount -o loop other "with space"
    """
    mounts = json.loads(mount_namespace(mounting, LOOK))
    ours = [mount for mount in mounts if mount[1].startswith("/dev/loop")]
    assert sorted(mount[0].rsplit("/", 1)[1] for mount in ours) == ["disk", "with space"]
    assert all(mount[2] == "ext4" and 10e6 < mount[3] < 25e6 for mount in ours)


def test_what_is_mounted_here_agrees_with_the_kernel():
    import psutil

    for mount in real_mounts():
        usage, told = usage_of(mount.mount_point), psutil.disk_usage(mount.mount_point)
        assert usage.total == told.total
        assert abs(usage.percent - told.percent) < 0.2
