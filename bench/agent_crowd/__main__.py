from bench.agent_crowd import main

main()
