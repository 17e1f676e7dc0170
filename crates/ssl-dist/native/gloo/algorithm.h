// libtorch has Gloo in its library and not its headers. These five files declare what c10d's header names of it.
#pragma once
