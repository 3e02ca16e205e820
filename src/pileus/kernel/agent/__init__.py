"""The host side: commands, the parts that obey them, and the process that holds the parts."""

from pileus.kernel.agent.command import Command, commands
from pileus.kernel.agent.part import AgentPart, Handler, HostContext

__all__ = ["AgentPart", "Command", "Handler", "HostContext", "commands"]
