"""What trains neural densities in torch and draws their weights with Pyro; importing it needs the extra ``neural``."""

from hamlearn import extras

extras.require("neural")
