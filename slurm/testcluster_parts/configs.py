"""What a private cluster's daemons read: text from a few values, no files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

SLURM_CONF = """\
ClusterName={name}
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={dir}/run/munge.sock,cred_expire=5
CredType=cred/munge
StateSaveLocation={dir}/state
SlurmdSpoolDir={dir}/spool/%n
SlurmctldPidFile={dir}/run/slurmctld.pid
SlurmdPidFile={dir}/run/slurmd-%n.pid
SlurmctldLogFile={dir}/log/slurmctld.log
SlurmdLogFile={dir}/log/slurmd-%n.log
MailProg=/bin/true
MpiDefault=none
ReturnToService=2
SlurmdTimeout=20
SlurmctldTimeout=30
InactiveLimit=0
KillWait=5
MinJobAge=600
MessageTimeout=20
UnkillableStepTimeout=30
SlurmdParameters=config_overrides
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=5,sched_min_interval=100000,bf_interval=5,\
default_queue_depth=2000,max_array_tasks=100000
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
ProctrackType={proctrack}
TaskPlugin={task}
JobAcctGatherType={gather}
JobAcctGatherFrequency=2
MaxArraySize=1001
MaxJobCount=20000
JobRequeue=1
TreeWidth=64
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
"""
NODES = """\
NodeName=n[1-{nodes}] NodeHostname={host} NodeAddr=127.0.0.1 Port=[{first}-{last}] CPUs={cpus} \
RealMemory={memory} State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP DefMemPerCPU=200 PreemptMode=OFF
PartitionName=lo Nodes=ALL MaxTime=INFINITE State=UP DefMemPerCPU=200 PriorityTier=1 \
PreemptMode=REQUEUE GraceTime=20
PartitionName=hi Nodes=ALL MaxTime=INFINITE State=UP DefMemPerCPU=200 PriorityTier=10 \
PreemptMode=OFF
"""
WITHOUT_ACCOUNTING = """\
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc={dir}/log/jobcomp.txt
"""
WITH_ACCOUNTING = """\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={dbd_port}
AccountingStoragePass={dir}/run/munge.sock
JobCompType=jobcomp/none
"""
CGROUP_CONF = """\
CgroupPlugin=cgroup/v1
CgroupMountpoint={dir}/cgroup
CgroupAutomount=no
ConstrainCores=no
ConstrainDevices=no
ConstrainRAMSpace=yes
ConstrainSwapSpace=no
AllowedRAMSpace=100
MinRAMSpace=16
"""
SLURMDBD_CONF = """\
AuthType=auth/munge
AuthInfo=socket={dir}/run/munge.sock
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort={dbd_port}
SlurmUser=root
PidFile={dir}/run/slurmdbd.pid
LogFile={dir}/log/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=slurm_acct_db
"""


@dataclass(frozen=True)
class Options:
    """What a cluster is started with.  The ports are ``port`` to ``port + 1 + nodes``."""

    nodes: int
    cpus: int
    memory: int
    accounting: bool
    cgroups: bool
    settings: tuple[str, ...]
    """KEY=VALUE lines that replace those of slurm.conf."""
    port: int = 0

    def on(self, port: int) -> Options:
        return replace(self, port=port)

    @property
    def dbd_port(self) -> int:
        return self.port + 1

    @property
    def names(self) -> list[str]:
        """Of the nodes."""
        return [f"n{number + 1}" for number in range(self.nodes)]


def configs(options: Options, root: Path, name: str, host: str) -> dict[str, str]:
    """Content of each file in ``root`` by its name; all but slurm.conf may be secret."""
    values: Mapping[str, object] = {
        "dir": root,
        "name": name,
        "host": host,
        "port": options.port,
        "dbd_port": options.dbd_port,
        "first": options.port + 2,
        "last": options.port + 1 + options.nodes,
        "nodes": options.nodes,
        "cpus": options.cpus,
        "memory": options.memory,
        "proctrack": "proctrack/cgroup" if options.cgroups else "proctrack/linuxproc",
        "task": "task/cgroup" if options.cgroups else "task/none",
        "gather": "jobacct_gather/cgroup" if options.cgroups else "jobacct_gather/linux",
    }
    storage = WITH_ACCOUNTING if options.accounting else WITHOUT_ACCOUNTING
    text = (SLURM_CONF + storage).format(**values)
    for setting in options.settings:
        key = re.escape(setting.partition("=")[0])
        text = re.sub(rf"(?im)^{key}=.*\n", "", text) + f"{setting}\n"
    files = {"slurm.conf": text + NODES.format(**values)}
    if options.cgroups:
        files["cgroup.conf"] = CGROUP_CONF.format(**values)
    if options.accounting:
        files["slurmdbd.conf"] = SLURMDBD_CONF.format(**values)
    return files
