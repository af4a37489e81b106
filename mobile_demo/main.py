"""Opens the app: `python mobile_demo/main.py --help`. On a phone, too, a program of this name is what is started."""

from greentrip_demo.launch import main

if __name__ == "__main__":
    main()
