"""How the APIs of OpenStack speak: their errors, pages and regular resources, one module for each upstream service.

Rule: a dialect knows requests and answers, no service and no table of Pileus'.
"""
